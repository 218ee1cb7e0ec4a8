import { Migration } from '@mikro-orm/migrations';

export default class extends Migration {
  override up(): void {
    this.addSql(`alter table "tasks" add column "actor" text null;`);
  }

  override down(): void {
    this.addSql(`alter table "tasks" drop column "actor";`);
  }
}
