import { Migration } from '@mikro-orm/migrations';

export default class extends Migration {
  override up(): void {
    this.addSql(
      `create table \`schedules\` (\`id\` integer not null primary key autoincrement, \`name\` text null, \`kind\` text not null, \`input\` json not null, \`cron\` text not null, \`time_zone\` text not null, \`next_run_at\` datetime not null, \`last_run_at\` datetime null, \`created_at\` datetime not null);`,
    );
    this.addSql(`create unique index \`schedules_name_unique\` on \`schedules\` (\`name\`);`);
    this.addSql(`create index \`schedules_next_run_at\` on \`schedules\` (\`next_run_at\`);`);

    this.addSql(
      `create table \`tasks\` (\`id\` integer not null primary key autoincrement, \`kind\` text not null, \`state\` text not null, \`priority\` integer not null, \`run_at\` datetime null, \`input\` json not null, \`progress\` json null, \`checkpoint\` json null, \`result\` json null, \`error\` json null, \`attempt\` integer not null, \`max_attempts\` integer not null, \`losses\` integer not null, \`runner\` text null, \`lease_until\` datetime null, \`cancel_requested_at\` datetime null, \`dedupe_key\` text null, \`parent_id\` integer null, \`place\` integer null, \`created_at\` datetime not null, \`started_at\` datetime null, \`finished_at\` datetime null);`,
    );
    this.addSql(
      `create index \`tasks_queued\` on \`tasks\` (\`kind\`, \`priority\` DESC, \`id\`) where state = 'queued' and losses < 2;`,
    );
    this.addSql(
      `create index \`tasks_suspect\` on \`tasks\` (\`kind\`, \`priority\` DESC, \`id\`) where state = 'queued' and losses >= 2;`,
    );
    this.addSql(`create index \`tasks_scheduled\` on \`tasks\` (\`run_at\`) where state = 'scheduled';`);
    this.addSql(`create index \`tasks_running\` on \`tasks\` (\`lease_until\`) where state = 'running';`);
    this.addSql(
      `create index \`tasks_parent\` on \`tasks\` (\`parent_id\`, \`place\`) where parent_id is not null;`,
    );
    this.addSql(
      `create index \`tasks_finished_at\` on \`tasks\` (\`finished_at\`) where finished_at is not null;`,
    );
    this.addSql(`create index \`tasks_state_id\` on \`tasks\` (\`state\`, \`id\`);`);
    this.addSql(`create index \`tasks_kind_id\` on \`tasks\` (\`kind\`, \`id\`);`);
    this.addSql(
      `create unique index \`tasks_dedupe\` on \`tasks\` (\`kind\`, \`dedupe_key\`) where finished_at is null and dedupe_key is not null;`,
    );
  }

  override down(): void {
    this.addSql(`drop table if exists \`schedules\`;`);
    this.addSql(`drop table if exists \`tasks\`;`);
  }
}
