import { Migration } from '@mikro-orm/migrations';

export default class extends Migration {
  override up(): void {
    this.addSql(
      `create table "webhook_deliveries" ("id" bigserial primary key, "webhook_id" int not null, "message_id" text not null, "position" bigint null, "type" text not null, "attempted_at" timestamptz(3) not null, "status" int null, "ms" int not null, "error" text null);`,
    );
    this.addSql(`create index "webhook_deliveries_webhook_id" on "webhook_deliveries" ("webhook_id", "id");`);

    this.addSql(
      `create table "webhooks" ("id" serial primary key, "url" text not null, "types" json null, "description" text null, "secret" text not null, "old_secrets" json not null, "position" bigint not null, "acknowledged" json not null, "epoch" int not null, "failures" int not null, "failing_since" timestamptz(3) null, "last_error" text null, "retry_at" timestamptz(3) null, "tried_up_to" bigint null, "disabled_at" timestamptz(3) null, "disabled_reason" text null, "created_at" timestamptz(3) not null, "updated_at" timestamptz(3) not null);`,
    );
  }

  override down(): void {
    this.addSql(`drop table if exists "webhook_deliveries" cascade;`);
    this.addSql(`drop table if exists "webhooks" cascade;`);
  }
}
