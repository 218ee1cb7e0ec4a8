import fc from 'fast-check';
import t from 'tap';
import { emailKey, isEmail, nameKey } from '../src/users/keys.ts';

t.test('an address is one by RFC 5321 and RFC 6531, without quotes and literals', async (t) => {
  for (const email of [
    'a@b',
    'ada@example.com',
    "o'brien+tag/x=1@sub.example.co.uk",
    '!#$%&*^_`{|}~-@example.com',
    'josé@bücher.example',
    '李小龙@例子.公司',
    'अजय@डाटा.भारत',
    'user@xn--bcher-kva.example',
    `${'x'.repeat(64)}@example.com`,
    `a@${'b'.repeat(63)}.example`,
  ]) {
    t.ok(isEmail(email), email);
  }
  for (const email of [
    '',
    '@',
    'a@',
    '@b',
    'plain',
    'a b@example.com',
    ' a@example.com',
    'a@example.com ',
    '.a@example.com',
    'a.@example.com',
    'a..b@example.com',
    'a@b@example.com',
    '"a b"@example.com',
    'a@[192.0.2.1]',
    'a@192.0.2.1',
    'a@0x7f.1',
    'a@example.123',
    'a@-example.com',
    'a@example-.com',
    'a@example..com',
    'a@.example.com',
    'a@example.com.',
    'a@exa_mple.com',
    'a@exa%41mple.com',
    'a@example.com/path',
    'a@example.com:25',
    'a@１９２.0.2.1',
    'a\u0000@example.com',
    'a\u200b@example.com',
    'a\u00a0@example.com',
    'a@exam\u3000ple.com',
    `${'x'.repeat(65)}@example.com`,
    `${'é'.repeat(33)}@example.com`,
    `a@${'b'.repeat(64)}.example`,
    'Ada <ada@example.com>',
  ]) {
    t.notOk(isEmail(email), JSON.stringify(email));
  }
});

t.test(
  'any address is equal to itself in another letter case or Unicode form, and its key to its own key',
  async (t) => {
    const letters = fc.constantFrom(...'abzAZ09éÉñÑöÖåÅßſİıΣσςДд李'.split(''), 'e\u0301', 'A\u030a');
    const word = fc.array(letters, { minLength: 1, maxLength: 12 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(
        word,
        fc.constantFrom('example.com', 'Bücher.example', 'STRASSE.example'),
        (local, domain) => {
          const email = `${local}@${domain}`;
          fc.pre(isEmail(email));
          const key = emailKey(email);
          return (
            key === emailKey(email.normalize('NFD')) &&
            key === emailKey(`${local}@${domain.toUpperCase()}`) &&
            key === emailKey(`${local.toLowerCase()}@${domain}`) &&
            key === emailKey(key)
          );
        },
      ),
      { numRuns: 2000 },
    );
    t.pass('2,000 addresses');
  },
);

t.test('two addresses that differ in a letter are two', async (t) => {
  t.not(emailKey('ada@example.com'), emailKey('ade@example.com'));
  t.not(emailKey('jose@example.com'), emailKey('josé@example.com'));
  t.not(emailKey('ada@example.com'), emailKey('ada@example.org'));
  t.not(nameKey('Jose'), nameKey('José'));
});
