import { startApp } from './support/app.ts';
import { onEachDatabase } from './support/databases.ts';
import { wholeLog } from './support/log.ts';
import { settled } from './support/tasks.ts';

onEachDatabase('a CSV becomes users, with their changes', async (t, dialect) => {
  const app = await startApp(t, dialect);
  const body =
    'Name, EMAIL ,team\r\nAda Lovelace,ada@example.com,engines\r\n"Grace ""G"" Hopper",grace@example.com,\nbad,nobody,x\nshort\n"Mul\nti",m@example.com,"a\nb"';
  const answer = await app.request('POST', '/users/import', {
    body,
    headers: { 'content-type': 'text/csv' },
  });
  console.log(answer.status, answer.text);
  const { id } = answer.json<{ id: number }>();
  console.log(await settled(app.app, id));
  console.log((await app.request('GET', '/users')).text);
  console.log((await wholeLog(app)).length);
  console.log((await app.request('GET', `/tasks/${id}/errors`)).text);
  t.strictSame(await app.app.reader.read('select * from upload_blocks', []), []);
});
