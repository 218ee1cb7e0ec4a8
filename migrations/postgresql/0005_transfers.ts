import { Migration } from '@mikro-orm/migrations';

export default class extends Migration {
  override up(): void {
    this.addSql(
      `create table "uploads" ("id" serial primary key, "format" text not null, "bytes" bigint not null, "header" bytea null, "task_id" int null, "touched_at" timestamptz(3) not null, "created_at" timestamptz(3) not null);`,
    );
    this.addSql(`alter table "uploads" add constraint "uploads_task_id_unique" unique ("task_id");`);
    this.addSql(`create index "uploads_touched_at" on "uploads" ("touched_at");`);

    this.addSql(
      `create table "upload_blocks" ("upload_id" int not null, "n" int not null, "bytes" bytea not null, primary key ("upload_id", "n"));`,
    );

    this.addSql(
      `create table "import_errors" ("task_id" int not null, "line" int not null, "reason" text not null, "row" bytea not null, primary key ("task_id", "line"));`,
    );
  }

  override down(): void {
    this.addSql(`drop table if exists "uploads" cascade;`);
    this.addSql(`drop table if exists "upload_blocks" cascade;`);
    this.addSql(`drop table if exists "import_errors" cascade;`);
  }
}
