import { Migration } from '@mikro-orm/migrations';

export default class extends Migration {
  override up(): void {
    this.addSql(
      `create table "schedules" ("id" serial primary key, "name" text null, "kind" text not null, "input" json not null, "cron" text not null, "time_zone" text not null, "next_run_at" timestamptz(3) not null, "last_run_at" timestamptz(3) null, "created_at" timestamptz(3) not null);`,
    );
    this.addSql(`alter table "schedules" add constraint "schedules_name_unique" unique ("name");`);
    this.addSql(`create index "schedules_next_run_at" on "schedules" ("next_run_at");`);

    this.addSql(
      `create table "tasks" ("id" serial primary key, "kind" text not null, "state" text not null, "priority" int not null, "run_at" timestamptz(3) null, "input" json not null, "progress" json null, "checkpoint" json null, "result" json null, "error" json null, "attempt" int not null, "max_attempts" int not null, "losses" int not null, "runner" text null, "lease_until" timestamptz(3) null, "cancel_requested_at" timestamptz(3) null, "dedupe_key" text null, "parent_id" int null, "place" int null, "created_at" timestamptz(3) not null, "started_at" timestamptz(3) null, "finished_at" timestamptz(3) null);`,
    );
    this.addSql(
      `create index "tasks_queued" on "tasks" ("kind", "priority" DESC, "id") where state = 'queued' and losses < 2;`,
    );
    this.addSql(
      `create index "tasks_suspect" on "tasks" ("kind", "priority" DESC, "id") where state = 'queued' and losses >= 2;`,
    );
    this.addSql(`create index "tasks_scheduled" on "tasks" ("run_at") where state = 'scheduled';`);
    this.addSql(`create index "tasks_running" on "tasks" ("lease_until") where state = 'running';`);
    this.addSql(`create index "tasks_parent" on "tasks" ("parent_id", "place") where parent_id is not null;`);
    this.addSql(`create index "tasks_finished_at" on "tasks" ("finished_at") where finished_at is not null;`);
    this.addSql(`create index "tasks_state_id" on "tasks" ("state", "id");`);
    this.addSql(`create index "tasks_kind_id" on "tasks" ("kind", "id");`);
    this.addSql(
      `create unique index "tasks_dedupe" on "tasks" ("kind", "dedupe_key") where finished_at is null and dedupe_key is not null;`,
    );
  }

  override down(): void {
    this.addSql(`drop table if exists "schedules" cascade;`);
    this.addSql(`drop table if exists "tasks" cascade;`);
  }
}
