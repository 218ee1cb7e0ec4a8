import { Migration } from '@mikro-orm/migrations';

const TIME = `'%Y-%m-%dT%H:%M:%fZ'`;

export default class extends Migration {
  override up(): void {
    this.addSql(
      `create table \`changes\` (\`position\` integer not null primary key autoincrement, \`type\` text not null, \`user_id\` integer not null, \`version\` integer not null, \`state\` json null, \`changed_fields\` json not null, \`actor\` text null, \`at\` datetime not null);`,
    );
    this.addSql(`create unique index \`changes_user_id_version\` on \`changes\` (\`user_id\`, \`version\`);`);
    this.addSql(
      `create table \`change_log\` (\`id\` integer not null primary key, \`kept_after\` integer not null);`,
    );
    this.addSql(`insert into \`change_log\` (\`id\`, \`kept_after\`) values (1, 0);`);

    // What is deleted from the search index is overwritten there at once, as secure_delete does it in tables.
    this.addSql(`insert into users_search (users_search, rank) values ('secure-delete', 1);`);

    // Whoever is there already enters the log as they are: what they were before, nobody has written down.
    this.addSql(`insert into \`changes\` (\`type\`, \`user_id\`, \`version\`, \`state\`, \`changed_fields\`, \`at\`)
      select 'user.created', id, version, json_object('id', id, 'name', name, 'email', email, 'attributes',
        json(attributes), 'version', version, 'createdAt', strftime(${TIME}, created_at / 1000.0, 'unixepoch'),
        'updatedAt', strftime(${TIME}, updated_at / 1000.0, 'unixepoch')),
        '["name","email","attributes"]', updated_at from \`users\` order by id;`);
  }

  override down(): void {
    this.addSql(`insert into users_search (users_search, rank) values ('secure-delete', 0);`);
    this.addSql(`drop table if exists \`changes\`;`);
    this.addSql(`drop table if exists \`change_log\`;`);
  }
}
