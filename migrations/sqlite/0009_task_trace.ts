import { Migration } from '@mikro-orm/migrations';

export default class extends Migration {
  override up(): void {
    this.addSql(`alter table \`tasks\` add column \`traceparent\` text null;`);
  }

  override down(): void {
    this.addSql(`alter table \`tasks\` drop column \`traceparent\`;`);
  }
}
