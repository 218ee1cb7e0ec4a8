import { Migration } from '@mikro-orm/migrations';

/**
 * What writes leave behind in the index of the search is merged by FTS5 after each 64 pages, all at once: the write that
 * came to them stood still for 10 ms and more, and all behind it. Each transaction merges a little now (`users/search.ts`).
 */
export default class extends Migration {
  override up(): void {
    this.addSql(`insert into users_search (users_search, rank) values ('automerge', 0);`);
  }

  override down(): void {
    this.addSql(`insert into users_search (users_search, rank) values ('automerge', 4);`);
  }
}
