import { Migration } from '@mikro-orm/migrations';

export default class extends Migration {
  override up(): void {
    this.addSql(
      `create table \`uploads\` (\`id\` integer not null primary key autoincrement, \`format\` text not null, \`bytes\` integer not null, \`header\` blob null, \`task_id\` integer null, \`touched_at\` datetime not null, \`created_at\` datetime not null);`,
    );
    this.addSql(`create unique index \`uploads_task_id_unique\` on \`uploads\` (\`task_id\`);`);
    this.addSql(`create index \`uploads_touched_at\` on \`uploads\` (\`touched_at\`);`);

    this.addSql(
      `create table \`upload_blocks\` (\`upload_id\` integer not null, \`n\` integer not null, \`bytes\` blob not null, primary key (\`upload_id\`, \`n\`));`,
    );

    this.addSql(
      `create table \`import_errors\` (\`task_id\` integer not null, \`line\` integer not null, \`reason\` text not null, \`row\` blob not null, primary key (\`task_id\`, \`line\`));`,
    );
  }

  override down(): void {
    this.addSql(`drop table if exists \`uploads\`;`);
    this.addSql(`drop table if exists \`upload_blocks\`;`);
    this.addSql(`drop table if exists \`import_errors\`;`);
  }
}
