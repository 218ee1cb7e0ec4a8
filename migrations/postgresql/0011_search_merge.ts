import { Migration } from '@mikro-orm/migrations';

/** Nothing to do here: PostgreSQL has no parts of an index to merge. */
export default class extends Migration {
  override up(): void {}

  override down(): void {}
}
