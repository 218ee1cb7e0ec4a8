import { Migration } from '@mikro-orm/migrations';

/**
 * What waits to be sorted into the index of the search, 4 MB by default, is sorted in by whichever write fills it up, and
 * gone through by each search: writes had to stand still for 20 ms and more. (KiB)
 */
export default class extends Migration {
  override up(): void {
    this.addSql(`alter index "users_search" set (gin_pending_list_limit = 256);`);
  }

  override down(): void {
    this.addSql(`alter index "users_search" reset (gin_pending_list_limit);`);
  }
}
