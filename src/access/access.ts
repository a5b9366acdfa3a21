/**
 * Who asks, and what they may do. Every row belongs to a project; a viewer has one role in it, or none, and then
 * the project does not exist for them.
 */
import { ForbiddenError, NotFoundError, roles, type Role } from '../platform/errors.ts';
import type { ActorKind } from '../platform/database.types.ts';

/** Who did something, as it is written beside what they did. */
export interface Actor {
  readonly name: string;
  readonly kind: ActorKind;
}

export interface Viewer extends Actor {
  /** Role in every project, present and future; null for a token of one project. */
  readonly everywhere: Role | null;
  readonly project: { readonly id: string; readonly role: Role } | null;
  /** The token this viewer came with; null for `local` and the first ADMIN. */
  readonly tokenId: string | null;
}

/** Whoever asks on a loopback address while access is not configured. */
export const local: Viewer = {
  name: 'local',
  kind: 'USER',
  everywhere: 'ADMIN',
  project: null,
  tokenId: null,
};
/** The holder of ADMIN_TOKEN_FILE. */
export const admin: Viewer = {
  name: 'admin',
  kind: 'USER',
  everywhere: 'ADMIN',
  project: null,
  tokenId: null,
};

/** Whether a role includes another. */
function includes(role: Role, needed: Role): boolean {
  return roles.indexOf(role) >= roles.indexOf(needed);
}

/** The viewer's role in a project, or null when it does not exist for them. */
export function roleIn(viewer: Viewer, projectId: string): Role | null {
  if (viewer.everywhere) return viewer.everywhere;
  return viewer.project?.id === projectId ? viewer.project.role : null;
}

/** Whether the viewer may do what needs `role` in a project. */
export function may(viewer: Viewer, projectId: string, role: Role): boolean {
  const own = roleIn(viewer, projectId);
  return own !== null && includes(own, role);
}

/**
 * Lets pass who may do what needs `role` in the project that something belongs to.
 * @param what names the thing for the error, such as `Model fraud`.
 * @throws NotFoundError for strangers (existence is not told), ForbiddenError for members of a lower role.
 */
export function requireRole(viewer: Viewer, projectId: string, role: Role, what: string): void {
  const own = roleIn(viewer, projectId);
  if (own === null) throw new NotFoundError(what);
  if (!includes(own, role)) {
    throw new ForbiddenError(
      `This needs the role ${role}; ${viewer.name} is ${own}.`,
      role,
      `Ask an ADMIN for a token of role ${role}.`,
    );
  }
}

/** Equal for viewers who see the same: the key under which answers may be shared. */
export function scopeOf(viewer: Viewer): string {
  return viewer.everywhere ?? `${viewer.project?.id ?? ''}:${viewer.project?.role ?? ''}`;
}
