/** API tokens: a random secret, shown once, kept only as its SHA-256. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { changing, type LedgerEntry } from '../ledger/ledger.ts';
import { checkName } from '../name/name.ts';
import { brokenConstraint } from '../platform/database.ts';
import type { LedgerEventType } from '../platform/database.types.ts';
import { ConflictError, NotFoundError, ValidationError, type Role } from '../platform/errors.ts';
import { newId } from '../platform/id.ts';
import type { Platform } from '../platform/platform.ts';
import { admin, local, requireRole, type Viewer } from './access.ts';
import * as queries from './token.queries.ts';

export type ApiToken = queries.TokenRow;

const PREFIX = 'mdl_';
const hashOf = (secret: string): Buffer => createHash('sha256').update(secret).digest();

/**
 * Makes a token of one project.
 * @returns the token and its secret, which nobody can read again.
 * @throws ForbiddenError, ValidationError (name, expiry in the past), ConflictError (name in use).
 */
export async function createToken(
  platform: Platform,
  viewer: Viewer,
  project: { id: string; name: string },
  input: { name: string; role: Role; expiresAt: Date | null },
): Promise<{ token: ApiToken; secret: string }> {
  requireRole(viewer, project.id, 'ADMIN', `Project ${project.name}`);
  const name = checkName(['name'], input.name);
  if (input.expiresAt && input.expiresAt.getTime() <= Date.now()) {
    throw ValidationError.of(['expiresAt'], 'a time in the future', input.expiresAt.toISOString());
  }
  const secret = PREFIX + randomBytes(32).toString('base64url');
  try {
    const token = await changing(platform, project.id, viewer, async (tx, append) => {
      const row = await queries.insertToken(tx, {
        id: newId(),
        projectId: project.id,
        name,
        role: input.role,
        hash: hashOf(secret),
        createdByName: viewer.name,
        expiresAt: input.expiresAt,
      });
      const { role, expiresAt } = input;
      await append(tokenEvent('TOKEN_CREATED', row, { role, expiresAt }));
      return row;
    });
    return { token, secret };
  } catch (error) {
    if (brokenConstraint(error) !== 'api_token_name_key') throw error;
    throw new ConflictError(
      `A token ${name} exists already.`,
      name,
      'Revoke it first, or take another name.',
    );
  }
}

/** Makes a token useless, everywhere, within a second. Revoking twice is harmless. */
export async function revokeToken(platform: Platform, viewer: Viewer, id: string): Promise<ApiToken> {
  const found = await queries.findToken(platform.db, id);
  if (!found) throw new NotFoundError('Token');
  requireRole(viewer, found.projectId, 'ADMIN', 'Token');
  const token = await changing(platform, found.projectId, viewer, async (tx, append) => {
    const revoked = await queries.revokeToken(tx, id);
    if (revoked) await append(tokenEvent('TOKEN_REVOKED', revoked, {}));
    return revoked;
  });
  platform.announce('token', id);
  return token ?? ((await queries.findToken(platform.db, id)) as ApiToken);
}

/** Never of its secret. */
function tokenEvent(
  type: LedgerEventType,
  { id, name }: ApiToken,
  data: Readonly<Record<string, unknown>>,
): LedgerEntry {
  return { type, subject: { type: 'ApiToken', id }, data: { name, ...data } };
}

export interface Authenticator {
  /**
   * Who comes with this Authorization header.
   * @returns undefined when the credentials are wrong, expired or revoked, or missing where they are needed.
   */
  authenticate(authorization: string | undefined): Promise<Viewer | undefined>;
  /** Forgets what is cached about a token (null: about all). */
  forget(id: string | null): void;
}

// A second of caching saves a statement per request; revocation is also announced.
const CACHE_MS = 1_000;
const USED_MS = 60_000;

/**
 * Checks credentials. Without ADMIN_TOKEN_FILE a caller without a token is `local`: the server then listens on
 * loopback only.
 */
export function openAuthenticator(platform: Platform): Authenticator {
  const adminHash = adminTokenHash(platform.config.ADMIN_TOKEN_FILE);
  /** By the whole header: neither parsing nor hashing for whoever asks many times a second. */
  const cache = new Map<string, { viewer: Viewer | undefined; until: number }>();
  let forgotten = 0;
  let sweepAt = 0;

  /** Secrets stay in memory no longer than they are of use. */
  function sweep(now: number): void {
    if (cache.size > 10_000) cache.clear();
    if (now < sweepAt) return;
    sweepAt = now + CACHE_MS;
    for (const [key, { until }] of cache) if (until <= now) cache.delete(key);
  }

  async function lookUp(hash: Buffer): Promise<Viewer | undefined> {
    const row = await queries.findLiveToken(platform.db, hash);
    if (!row) return undefined;
    if (!row.lastUsedAt || Date.now() - row.lastUsedAt.getTime() > USED_MS) {
      await queries.touchToken(platform.db, row.id);
    }
    return {
      name: row.name,
      kind: 'TOKEN',
      everywhere: null,
      project: { id: row.projectId, role: row.role },
      tokenId: row.id,
    };
  }

  async function check(authorization: string): Promise<Viewer | undefined> {
    const secret = /^Bearer ([\x21-\x7e]{16,512})$/i.exec(authorization)?.[1];
    if (!secret) return undefined;
    const hash = hashOf(secret);
    if (adminHash && timingSafeEqual(hash, adminHash)) return admin;
    if (!secret.startsWith(PREFIX)) return undefined;
    return lookUp(hash);
  }

  return {
    authenticate: async (authorization) => {
      if (authorization === undefined || authorization === '') return adminHash ? undefined : local;
      const known = cache.get(authorization);
      if (known && known.until > Date.now()) return known.viewer;
      const before = forgotten;
      const viewer = await check(authorization);
      const now = Date.now();
      sweep(now);
      // What was revoked while it was looked up is not kept for a second longer.
      if (before === forgotten) cache.set(authorization, { viewer, until: now + CACHE_MS });
      return viewer;
    },
    forget: (id) => {
      forgotten++;
      for (const [key, entry] of cache) if (id === null || entry.viewer?.tokenId === id) cache.delete(key);
    },
  };
}

const ADMIN_TOKEN_MIN = 32;

/** @throws Error when the file cannot be read or its token is too short to be safe. */
function adminTokenHash(file: string | undefined): Buffer | undefined {
  if (!file) return undefined;
  const token = readFileSync(file, 'utf8').trim();
  if (token.length < ADMIN_TOKEN_MIN) {
    throw new Error(
      `ADMIN_TOKEN_FILE: expected a token of at least ${ADMIN_TOKEN_MIN} characters in ${file}, found ${token.length}. ` +
        'Make one with: openssl rand -base64 32',
    );
  }
  return hashOf(token);
}
