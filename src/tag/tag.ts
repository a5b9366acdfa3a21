/** Tags: keys and values that people give to models and versions. */
import { checkCharacters, checkName, checkText, shown } from '../name/name.ts';
import type { TagRecord } from '../platform/database.types.ts';
import { ValidationError } from '../platform/errors.ts';

const MAX_TAGS = 50;
const MAX_VALUE = 200;
/** For what Modelarium itself may want to say some day. */
const RESERVED = 'modelarium.';

/**
 * Tags in the order of their keys.
 * @throws ValidationError at `path` for more than 50, a key that is no name, twice there or reserved, or a value that is
 * no text of at most 200 characters.
 */
export function checkTags(path: readonly string[], tags: readonly TagRecord[]): TagRecord[] {
  const seen = new Set<string>();
  const checked = tags.map((tag, index) => {
    const at = [...path, String(index)];
    const key = checkName([...at, 'key'], tag.key);
    if (key.toLowerCase().startsWith(RESERVED)) {
      throw ValidationError.of([...at, 'key'], `a key that does not begin with "${RESERVED}"`, shown(key));
    }
    if (seen.has(key)) throw ValidationError.of([...at, 'key'], 'each key once', shown(key));
    seen.add(key);
    const value = (checkText([...at, 'value'], tag.value) ?? '').normalize('NFC');
    checkCharacters([...at, 'value'], value, MAX_VALUE);
    return { key, value };
  });
  return inOrder(path, checked);
}

/**
 * Tags after a change: those in `set` added or given their new value, those of the keys in `remove` gone.
 * @throws ValidationError as checkTags does, for a key that is set and removed, and when there would be too many.
 */
export function changeTags(
  tags: readonly TagRecord[],
  change: { set: readonly TagRecord[]; remove: readonly string[] },
): TagRecord[] {
  const set = checkTags(['tags'], change.set);
  const remove = new Set(change.remove.map((key) => key.normalize('NFC')));
  const both = set.find(({ key }) => remove.has(key));
  if (both) throw ValidationError.of(['removeTags'], 'keys that are not in `tags`', shown(both.key));
  const kept = tags.filter(({ key }) => !remove.has(key) && !set.some((tag) => tag.key === key));
  return inOrder(['tags'], [...kept, ...set]);
}

function inOrder(path: readonly string[], tags: readonly TagRecord[]): TagRecord[] {
  if (tags.length > MAX_TAGS) throw ValidationError.of(path, `at most ${MAX_TAGS} tags`, String(tags.length));
  return tags.toSorted((a, b) => (a.key < b.key ? -1 : 1));
}
