import { Migration } from '@mikro-orm/migrations';

export default class extends Migration {
  override up(): void {
    this.addSql(
      `create table \`api_keys\` (\`id\` text not null primary key, \`name\` text not null, \`hash\` text not null, \`scopes\` json not null, \`created_at\` datetime not null, \`expires_at\` datetime null, \`last_used_at\` datetime null, \`revoked_at\` datetime null);`,
    );
  }

  override down(): void {
    this.addSql(`drop table if exists \`api_keys\`;`);
  }
}
