/** Why compressed bytes could not be unpacked. The messages are sentences for people. */

/** They are not what their format says. */
export class BrokenCompression extends Error {
  override readonly name = 'BrokenCompression';
}

/** They use a part of their format that has no reader here. */
export class Unsupported extends Error {
  override readonly name = 'Unsupported';
}

/** They want a dictionary that is larger than the limit. */
export class DictionaryTooLarge extends Error {
  override readonly name = 'DictionaryTooLarge';
}

/** They unpack to out of all proportion to what they are. */
export class Bomb extends Error {
  override readonly name = 'Bomb';
}

/** All that was unpacked together is more than the limit, though in proportion. */
export class TooLarge extends Error {
  override readonly name = 'TooLarge';
}
