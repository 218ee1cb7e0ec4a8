import { Migration } from '@mikro-orm/migrations';

export default class extends Migration {
  override up(): void {
    this.addSql(
      `create table "api_keys" ("id" text not null, "name" text not null, "hash" text not null, "scopes" json not null, "created_at" timestamptz(3) not null, "expires_at" timestamptz(3) null, "last_used_at" timestamptz(3) null, "revoked_at" timestamptz(3) null, primary key ("id"));`,
    );
  }

  override down(): void {
    this.addSql(`drop table if exists "api_keys" cascade;`);
  }
}
