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
      `create table \`users\` (\`id\` integer not null primary key autoincrement, \`name\` text not null, \`name_key\` text not null, \`email\` text not null, \`email_key\` text not null, \`search_key\` text not null, \`attributes\` json not null, \`version\` integer not null, \`created_at\` datetime not null, \`updated_at\` datetime not null);`,
    );
    this.addSql(`create unique index \`users_email_key_unique\` on \`users\` (\`email_key\`);`);
    this.addSql(`create index \`users_name_key_id\` on \`users\` (\`name_key\`, \`id\`);`);
    this.addSql(`create index \`users_created_at_id\` on \`users\` (\`created_at\`, \`id\`);`);

    // Trigrams of search_key, which is folded already. FTS5 keeps no copy of the text (content='users'); the triggers
    // tell it what to take out and in.
    this.addSql(
      `create virtual table users_search using fts5 (search_key, content = 'users', content_rowid = 'id', tokenize = 'trigram case_sensitive 1');`,
    );
    this.addSql(`create trigger users_search_insert after insert on users begin
      insert into users_search (rowid, search_key) values (new.id, new.search_key);
    end;`);
    this.addSql(`create trigger users_search_delete after delete on users begin
      insert into users_search (users_search, rowid, search_key) values ('delete', old.id, old.search_key);
    end;`);
    this.addSql(`create trigger users_search_update after update of search_key on users
    when old.search_key <> new.search_key begin
      insert into users_search (users_search, rowid, search_key) values ('delete', old.id, old.search_key);
      insert into users_search (rowid, search_key) values (new.id, new.search_key);
    end;`);
  }

  override down(): void {
    this.addSql(`drop table if exists \`idempotency_records\`;`);
    this.addSql(`drop table if exists \`instance\`;`);
    this.addSql(`drop table if exists \`users_search\`;`);
    this.addSql(`drop table if exists \`users\`;`);
  }
}
