import { Migration } from '@mikro-orm/migrations';

export default class extends Migration {
  override up(): void {
    this.addSql(
      `create table "idempotency_records" ("key" text not null, "fingerprint" text not null, "answer" json null, "created_at" timestamptz(3) not null, primary key ("key"));`,
    );
    this.addSql(`create index "idempotency_records_created_at" on "idempotency_records" ("created_at");`);

    this.addSql(
      `create table "instance" ("id" text not null, "created_at" timestamptz(3) not null, primary key ("id"));`,
    );

    this.addSql(
      `create table "users" ("id" serial primary key, "name" text not null, "name_key" text collate "C" not null, "email" text not null, "email_key" text collate "C" not null, "search_key" text collate "C" not null, "attributes" json not null, "version" int not null, "created_at" timestamptz(3) not null, "updated_at" timestamptz(3) not null);`,
    );
    this.addSql(`alter table "users" add constraint "users_email_key_unique" unique ("email_key");`);
    this.addSql(`create index "users_name_key_id" on "users" ("name_key", "id");`);
    this.addSql(`create index "users_created_at_id" on "users" ("created_at", "id");`);

    // Trusted since PostgreSQL 13: the owner of the database may create it.
    this.addSql(`create extension if not exists pg_trgm;`);
    this.addSql(`create index users_search on users using gin (search_key gin_trgm_ops);`);
  }

  override down(): void {
    this.addSql(`drop table if exists "idempotency_records" cascade;`);
    this.addSql(`drop table if exists "instance" cascade;`);
    this.addSql(`drop table if exists "users" cascade;`);
  }
}
