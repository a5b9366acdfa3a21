/**
 * Which writing systems a name mixes. Follows Unicode Technical Standard #39 (Security Mechanisms), 5.1: a name is of
 * one script when some script is among the Script_Extensions of all its letters; the combinations that Japanese,
 * Chinese and Korean are written in, each with Latin, count as one (its "highly restrictive" level).
 */

const recommended = [
  'Latin',
  'Greek',
  'Cyrillic',
  'Armenian',
  'Hebrew',
  'Arabic',
  'Thaana',
  'Devanagari',
  'Bengali',
  'Gurmukhi',
  'Gujarati',
  'Oriya',
  'Tamil',
  'Telugu',
  'Kannada',
  'Malayalam',
  'Sinhala',
  'Thai',
  'Lao',
  'Tibetan',
  'Myanmar',
  'Georgian',
  'Hangul',
  'Ethiopic',
  'Khmer',
  'Hiragana',
  'Katakana',
  'Bopomofo',
  'Han',
] as const;

const scripts = recommended.map((name) => ({
  name: name as string,
  holds: new RegExp(`\\p{Script_Extensions=${name}}`, 'u'),
}));
const common = /[\p{Script=Common}\p{Script=Inherited}]/u;
const shared = /[\p{Script_Extensions=Common}\p{Script_Extensions=Inherited}]/u;

const together = [
  new Set(['Latin', 'Han', 'Hiragana', 'Katakana']),
  new Set(['Latin', 'Han', 'Bopomofo']),
  new Set(['Latin', 'Han', 'Hangul']),
];

/** A letter of a script that is not in everyday use stands for a script of its own. */
function scriptsOf(letter: string): string[] {
  const found = scripts.filter(({ holds }) => holds.test(letter)).map(({ name }) => name);
  return found.length > 0 ? found : ['a script that is not in everyday use'];
}

/** The scripts that a name mixes, by the letters that show it; undefined when it is of one. */
export function mixedScripts(name: string): readonly { letter: string; script: string }[] | undefined {
  const letters = [...name].filter((letter) => !(common.test(letter) && shared.test(letter)));
  const sets = letters.map((letter) => ({ letter, scripts: scriptsOf(letter) }));
  const [first] = sets;
  if (!first) return undefined;
  if (first.scripts.some((script) => sets.every((other) => other.scripts.includes(script)))) return undefined;
  if (together.some((allowed) => sets.every((set) => set.scripts.some((script) => allowed.has(script)))))
    return undefined;
  const other = sets.find((set) => !set.scripts.some((script) => first.scripts.includes(script)));
  return [first, other ?? (sets.at(-1) as typeof first)].map(({ letter, scripts: of }) => ({
    letter,
    script: of[0] as string,
  }));
}

/** Whether digits of several systems (as Arabic and Bengali ones, some of which look alike) stand in one name. */
export function mixesDigits(name: string): boolean {
  const zeros = [...name].filter((sign) => /\p{Nd}/u.test(sign)).map(zeroOf);
  return new Set(zeros).size > 1;
}

/** The digits of a system stand in a row: the first of it tells which. */
function zeroOf(digit: string): number {
  let code = digit.codePointAt(0) as number;
  // No two systems touch without a gap but at a multiple of ten from a zero.
  for (let steps = 0; steps < 9 && /\p{Nd}/u.test(String.fromCodePoint(code - 1)); steps++) code--;
  return code;
}
