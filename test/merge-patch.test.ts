import t from 'tap';
import { mergePatch } from '../src/http/merge-patch.ts';

t.test('a merge patch does what the table of RFC 7396, appendix A, says', async (t) => {
  const table: [original: string, patch: string, result: string][] = [
    ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'],
    ['{"a":"b"}', '{"a":null}', '{}'],
    ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'],
    ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'],
    ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'],
    ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'],
    ['["a","b"]', '["c","d"]', '["c","d"]'],
    ['{"a":"b"}', '["c"]', '["c"]'],
    ['{"a":"foo"}', 'null', 'null'],
    ['{"a":"foo"}', '"bar"', '"bar"'],
    ['{"e":null}', '{"a":1}', '{"e":null,"a":1}'],
    ['[1,2]', '{"a":"b","c":null}', '{"a":"b"}'],
    ['{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
  ];
  for (const [original, patch, result] of table) {
    t.equal(
      JSON.stringify(mergePatch(JSON.parse(original), JSON.parse(patch))),
      result,
      `${original} + ${patch}`,
    );
  }
});

t.test('a merge patch changes neither of its arguments, and no prototype', async (t) => {
  const target = { a: { b: 1 } };
  const patch = JSON.parse('{"a":{"c":2},"__proto__":{"polluted":true}}');
  const result = mergePatch(target, patch);
  t.strictSame(target, { a: { b: 1 } });
  t.equal(({} as Record<string, unknown>).polluted, undefined);
  t.equal((result as Record<string, unknown>).polluted, undefined, 'nor that of the result');
});
