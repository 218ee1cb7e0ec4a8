import { execute, isSqlite } from '../db/statement.ts';
import type { Tx } from '../db/tx.ts';

/** Their trigrams fill a page of 4 kB, when no two are the same; whoever comes alone takes one, too. */
const CHARACTERS_OF_A_PAGE = 500;
/** How often a page is merged at most: four parts make one, so that is enough for thousands of millions of pages. */
const MERGES_OF_A_PAGE = 16;

/**
 * Keeps the index of the search in few parts; to be called with what is put into it or taken out. Each transaction adds a
 * part to SQLite's index (FTS5), and a search looks through all of them. So each merges what its own pages will ever cost,
 * if there is so much to merge, and stops where a trigram ends. FTS5 itself does that for 64 pages at a time, while all
 * other writes wait.
 */
export function mergeSearch(tx: Tx, searchKey: string): void {
  if (!isSqlite(tx.em)) return;
  tx.last('search', searchKey.length, async (lengths) => {
    const characters = lengths.reduce((sum, one) => sum + one);
    const pages = Math.ceil(characters / CHARACTERS_OF_A_PAGE) * MERGES_OF_A_PAGE;
    await execute(tx.em, `insert into users_search (users_search, rank) values ('merge', ?)`, [pages]);
  });
}
