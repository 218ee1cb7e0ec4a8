import { Migration } from '@mikro-orm/migrations';

export default class extends Migration {
  override up(): void {
    this.addSql(
      `create table \`webhook_deliveries\` (\`id\` integer not null primary key autoincrement, \`webhook_id\` integer not null, \`message_id\` text not null, \`position\` bigint null, \`type\` text not null, \`attempted_at\` datetime not null, \`status\` integer null, \`ms\` integer not null, \`error\` text null);`,
    );
    this.addSql(
      `create index \`webhook_deliveries_webhook_id\` on \`webhook_deliveries\` (\`webhook_id\`, \`id\`);`,
    );

    this.addSql(
      `create table \`webhooks\` (\`id\` integer not null primary key autoincrement, \`url\` text not null, \`types\` json null, \`description\` text null, \`secret\` text not null, \`old_secrets\` json not null, \`position\` bigint not null, \`acknowledged\` json not null, \`epoch\` integer not null, \`failures\` integer not null, \`failing_since\` datetime null, \`last_error\` text null, \`retry_at\` datetime null, \`tried_up_to\` bigint null, \`disabled_at\` datetime null, \`disabled_reason\` text null, \`created_at\` datetime not null, \`updated_at\` datetime not null);`,
    );
  }

  override down(): void {
    this.addSql(`drop table if exists \`webhook_deliveries\`;`);
    this.addSql(`drop table if exists \`webhooks\`;`);
  }
}
