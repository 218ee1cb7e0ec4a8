import { Migration } from '@mikro-orm/migrations';

const TIME = `'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'`;

export default class extends Migration {
  override up(): void {
    this.addSql(
      `create table "changes" ("position" bigserial primary key, "type" text not null, "user_id" int not null, "version" int not null, "state" json null, "changed_fields" json not null, "actor" text null, "at" timestamptz(3) not null);`,
    );
    this.addSql(
      `alter table "changes" add constraint "changes_user_id_version" unique ("user_id", "version");`,
    );
    this.addSql(`create table "change_log" ("id" int not null primary key, "kept_after" bigint not null);`);
    this.addSql(`insert into "change_log" ("id", "kept_after") values (1, 0);`);

    // Whoever is there already enters the log as they are: what they were before, nobody has written down.
    this.addSql(`insert into "changes" ("type", "user_id", "version", "state", "changed_fields", "at")
      select 'user.created', id, version, json_build_object('id', id, 'name', name, 'email', email, 'attributes',
        attributes, 'version', version, 'createdAt', to_char(created_at at time zone 'UTC', ${TIME}),
        'updatedAt', to_char(updated_at at time zone 'UTC', ${TIME})),
        '["name","email","attributes"]', updated_at from "users" order by id;`);
  }

  override down(): void {
    this.addSql(`drop table if exists "changes" cascade;`);
    this.addSql(`drop table if exists "change_log" cascade;`);
  }
}
