import { Migration } from '@mikro-orm/migrations';

/** Nothing to do here: SQLite sorts into the index of the search as it goes. */
export default class extends Migration {
  override up(): void {}

  override down(): void {}
}
