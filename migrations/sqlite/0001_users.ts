import { Migration } from '@mikro-orm/migrations';

export default class extends Migration {
  override up(): void {
    this.addSql(
      `create table \`idempotency_records\` (\`key\` text not null primary key, \`fingerprint\` text not null, \`answer\` json null, \`created_at\` datetime not null);`,
    );
    this.addSql(
      `create index \`idempotency_records_created_at\` on \`idempotency_records\` (\`created_at\`);`,
    );

    this.addSql(
      `create table \`instance\` (\`id\` text not null primary key, \`created_at\` datetime not null);`,
    );

    this.addSql(
      `create table \`users\` (\`id\` integer not null primary key autoincrement, \`name\` text not null, \`name_key\` text not null, \`email\` text not null, \`email_key\` text not null, \`attributes\` json not null, \`version\` integer not null, \`created_at\` datetime not null, \`updated_at\` datetime not null);`,
    );
    this.addSql(`create unique index \`users_email_key_unique\` on \`users\` (\`email_key\`);`);
    this.addSql(`create index \`users_name_key_id\` on \`users\` (\`name_key\`, \`id\`);`);
    this.addSql(`create index \`users_created_at_id\` on \`users\` (\`created_at\`, \`id\`);`);
  }

  override down(): void {
    this.addSql(`drop table if exists \`idempotency_records\`;`);
    this.addSql(`drop table if exists \`instance\`;`);
    this.addSql(`drop table if exists \`users\`;`);
  }
}
