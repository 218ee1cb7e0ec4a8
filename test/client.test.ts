import t from 'tap';
import { createMusterClient, nextPage, type User } from '../client/index.ts';
import { buildApp } from '../src/app.ts';
import { loadConfig } from '../src/config.ts';
import { fetch } from './support/fetch.ts';

t.test(
  'the generated client creates, reads, lists, changes and deletes users over the network',
  async (t) => {
    const app = await buildApp(loadConfig({ DATABASE_URL: 'sqlite::memory:', LOG_LEVEL: 'silent' }));
    t.teardown(() => app.close());
    const muster = createMusterClient({ baseUrl: await app.listen({ host: '127.0.0.1', port: 0 }), fetch });
    const mergePatch = { 'content-type': 'application/merge-patch+json' };

    const ada = await muster.POST('/users', { body: { name: 'Ada Lovelace', email: 'ada@example.com' } });
    t.equal(ada.response.status, 201);
    t.match(ada.data, { id: 1, name: 'Ada Lovelace', email: 'ada@example.com', attributes: {}, version: 1 });
    t.equal(ada.response.headers.get('location'), '/users/1');
    const etag = ada.response.headers.get('etag') ?? '';

    const one = { path: { id: 1 } };
    const found = await muster.GET('/users/{id}', { params: one });
    t.strictSame(found.data, ada.data, 'a look-up gives what the create gave');
    const unchanged = await muster.GET('/users/{id}', {
      params: { ...one, header: { 'If-None-Match': etag } },
    });
    t.equal(unchanged.response.status, 304);

    const grace = { name: 'Grace Hopper', email: 'grace@example.com', attributes: { rank: 'rear admiral' } };
    const header = { 'Idempotency-Key': 'create-grace' };
    const first = await muster.POST('/users', { body: grace, params: { header } });
    const again = await muster.POST('/users', { body: grace, params: { header } });
    t.strictSame(again.data, first.data, 'a repeated create is answered as the first');
    t.equal(again.response.headers.get('idempotent-replayed'), 'true');
    await muster.POST('/users', { body: { name: 'Mary Somerville', email: 'mary@example.com' } });

    const pages: User[][] = [];
    let after: string | undefined;
    do {
      const query = { limit: 2, sort: 'name', ...(after !== undefined && { after }) } as const;
      const { data, response } = await muster.GET('/users', { params: { query } });
      pages.push(data ?? []);
      after = nextPage(response);
    } while (after !== undefined);
    t.strictSame(
      pages.map((page) => page.map((user) => user.name)),
      [['Ada Lovelace', 'Grace Hopper'], ['Mary Somerville']],
      'Link leads over both pages, to the end',
    );

    const ifMatch = { header: { 'If-Match': etag } };
    const rename = { params: { ...one, ...ifMatch }, body: { name: 'Ada King' }, headers: mergePatch };
    const renamed = await muster.PATCH('/users/{id}', rename);
    t.match(renamed.data, { name: 'Ada King', email: 'ada@example.com', version: 2 });
    t.not(renamed.response.headers.get('etag'), etag);

    const late = await muster.PATCH('/users/{id}', { ...rename, body: { name: 'Ada Byron' } });
    t.match(late.error, { status: 412, type: 'urn:problem-type:muster:version-mismatch' });
    const taken = await muster.POST('/users', { body: { name: 'Ada', email: 'ADA@example.com' } });
    t.match(taken.error, { status: 409, type: 'urn:problem-type:muster:email-taken' });
    const invalid = await muster.POST('/users', { body: { name: '', email: 'nobody' } });
    t.match(invalid.error, { status: 422, type: 'urn:problem-type:muster:invalid-body' });
    t.strictSame(invalid.error?.errors?.map(({ pointer }) => pointer).sort(), ['#/email', '#/name']);

    const gone = await muster.DELETE('/users/{id}', { params: one });
    t.equal(gone.response.status, 204);
    const missing = await muster.GET('/users/{id}', { params: one });
    t.match(missing.error, { status: 404, type: 'urn:problem-type:muster:user-not-found' });
  },
);
