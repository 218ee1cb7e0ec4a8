import { Migration } from '@mikro-orm/migrations';

export default class extends Migration {
  override up(): void {
    // The service gives it a value when it next starts.
    this.addSql(`alter table "change_log" add column "epoch" text not null default '';`);
  }

  override down(): void {
    this.addSql(`alter table "change_log" drop column "epoch";`);
  }
}
