/** Times as people write them: RFC 3339 with a zone, or a day. */
import { shown } from '../name/name.ts';

/** A time, or what is wrong with the text in the words of an error's `found`. */
export type ReadTime = { readonly time: Date } | { readonly fault: string };

const timeShape = /^(\d{4}-\d\d-\d\d)t(\d\d:\d\d)(?:(:\d\d)(\.\d+)?)?(z|[+-](?:[01]\d|2[0-3]):[0-5]\d)?$/i;
const EARLIEST = Date.parse('0001-01-01T00:00Z');
const LATEST = Date.parse('9999-12-31T23:59:59.999Z');

/**
 * Reads an RFC 3339 time such as `2026-11-01T00:00Z` or `2026-11-01T09:30:15.250+09:00`: seconds may be missing, the zone
 * may not; years 1 to 9999, no leap seconds, nothing finer than a millisecond.
 */
export function readTime(text: string): ReadTime {
  const [whole, day, minute, second = ':00', fraction = '', zone] = timeShape.exec(text) ?? [];
  const wrong = (why = ''): ReadTime => ({ fault: `${shown(text)}${why}` });
  if (whole === undefined) return wrong();
  if (zone === undefined) return wrong(', which has no zone');
  if (fraction.length > 4) return wrong(', which is finer than a millisecond');
  const local = exact(`${day}T${minute}${second}${fraction}`);
  if (local === undefined) return wrong(', which is no time that there is');
  // The clock there minus its lead is the clock at UTC.
  const lead = zone.toUpperCase() === 'Z' ? 0 : leadOf(zone);
  return inRange(local - lead) ? { time: new Date(local - lead) } : wrong(', which is out of range');
}

/** Reads a day such as `2026-11-01`: its first instant in UTC. Years 1 to 9999. */
export function readDay(text: string): ReadTime {
  if (!/^\d{4}-\d\d-\d\d$/.test(text)) return { fault: shown(text) };
  const start = exact(`${text}T00:00:00`);
  if (start === undefined) return { fault: `${shown(text)}, which is no day that there is` };
  return inRange(start) ? { time: new Date(start) } : { fault: `${shown(text)}, which is out of range` };
}

/** Milliseconds of a local time read as UTC; undefined where Date rolls over, as from 30 February to 2 March. */
function exact(local: string): number | undefined {
  const ms = Date.parse(`${local}Z`);
  if (Number.isNaN(ms)) return undefined;
  return new Date(ms).toISOString().startsWith(local.slice(0, 19)) ? ms : undefined;
}

/** How far the clocks of a zone such as `+05:30` are ahead of UTC, in milliseconds. */
function leadOf(zone: string): number {
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4));
  return (zone.startsWith('-') ? -minutes : minutes) * 60_000;
}

const inRange = (ms: number): boolean => ms >= EARLIEST && ms <= LATEST;
