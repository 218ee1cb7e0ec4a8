import { execute, isSqlite } from '../db/statement.ts';
import type { Tx } from '../db/tx.ts';

/** Their trigrams fill a page of 4 kB; whoever comes alone takes one, too. */
const USERS_OF_A_PAGE = 25;
/** How often a page is merged at most: four parts make one, so that is enough for thousands of millions of pages. */
const MERGES_OF_A_PAGE = 16;

/**
 * Keeps the index of the search in few parts; to be called with each change of a name or an email. Each transaction adds a
 * part to SQLite's index (FTS5), and a search looks through all of them. So each merges what its own pages will ever cost,
 * if there is so much to merge. FTS5 itself does that for 64 pages at a time, while all other writes wait.
 */
export function mergeSearch(tx: Tx): void {
  if (!isSqlite(tx.em)) return;
  tx.last('search', 1, async (users) => {
    const pages = Math.ceil(users.length / USERS_OF_A_PAGE) * MERGES_OF_A_PAGE;
    await execute(tx.em, `insert into users_search (users_search, rank) values ('merge', ?)`, [pages]);
  });
}
