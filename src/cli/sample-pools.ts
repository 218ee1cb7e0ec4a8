/** How a people puts a name together, and whether its addresses are written in its own script, too. */
type Order = 'given family' | 'family given' | 'familygiven';

/** Scripts from left to right and from right to left, with and without letter case, joined and decomposing letters. */
const LOCALES = {
  ar: 'given family',
  de: 'given family',
  dv: 'given family',
  el: 'given family',
  en: 'given family',
  es: 'given family',
  fa: 'given family',
  fr: 'given family',
  he: 'given family',
  hy: 'given family',
  ja: 'family given',
  ka_GE: 'given family',
  ko: 'familygiven',
  ku_ckb: 'given family',
  ne: 'given family',
  pl: 'given family',
  ru: 'given family',
  th: 'given family',
  tr: 'given family',
  uk: 'family given',
  ur: 'given family',
  vi: 'family given',
  zh_CN: 'familygiven',
  zh_TW: 'familygiven',
} as const satisfies Record<string, Order>;

/** What people of one country are made of. */
export interface Pool {
  order: Order;
  /** Given and family names that go together: in many languages both have a gender. */
  names: readonly { given: readonly string[]; family: readonly string[] }[];
  phones: readonly string[];
  sentences: readonly string[];
}

export interface Pools {
  countries: readonly Pool[];
  teams: readonly string[];
  /** Gives the next number from 0 to below 1. */
  random(): number;
}

const NAMES = 300;
const OTHERS = 60;

/**
 * Draws from the generator once, as to ask it for each row would take minutes for a million.
 * Loaded when it is asked for: it is a package for development, and takes 150 ms.
 */
export async function loadPools(seed: number): Promise<Pools> {
  const { Faker, allLocales, generateMersenne53Randomizer } = await import('@faker-js/faker');
  const countries = Object.entries(LOCALES).map(([name, order], place): Pool => {
    const { en, base, [name as keyof typeof LOCALES]: locale } = allLocales;
    const faker = new Faker({ locale: [locale, en, base], seed: seed + place });
    const draw = (count: number, one: () => string) => Array.from({ length: count }, one);
    return {
      order,
      names: (['female', 'male'] as const).map((sex) => ({
        given: draw(NAMES, () => faker.person.firstName(sex)),
        family: draw(NAMES, () => faker.person.lastName(sex)),
      })),
      phones: draw(OTHERS, () => faker.phone.number({ style: 'international' })),
      sentences: draw(OTHERS, () => faker.lorem.sentence({ min: 3, max: 9 })),
    };
  });
  const faker = new Faker({ locale: [allLocales.en, allLocales.base], seed });
  const teams = faker.helpers.uniqueArray(() => faker.commerce.department().toLowerCase(), 20);
  const randomizer = generateMersenne53Randomizer();
  randomizer.seed(seed);
  return { countries, teams, random: () => randomizer.next() };
}
