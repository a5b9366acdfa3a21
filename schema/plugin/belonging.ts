/**
 * Who may see what belongs to a project: checked at the field that brings an object into the answer, once for each
 * object, whatever resolver it comes from and whatever that resolver has checked itself. A type says `belongsTo`; every
 * field of that type, of a list of it, and of an interface is guarded, so no field of an object is ever read for
 * somebody who may not see the object. The scope-auth plugin checks at each field of the object instead: no stricter,
 * and half the time of a page of 20 models, which has 300 fields.
 */
import SchemaBuilder, {
  BasePlugin,
  completeValue,
  getTypeBrand,
  isThenable,
  type OutputType,
  type PothosOutputFieldConfig,
  type SchemaTypes,
} from '@pothos/core';
import type { GraphQLFieldResolver } from 'graphql';
import { may } from '#src/access/access.ts';
import { ForbiddenError, type Role } from '#src/platform/errors.ts';
import type { Context } from '../context.ts';

/** The project that an object belongs to, and the role there that it takes to see it. */
export interface Belonging {
  readonly project: string;
  readonly role: Role;
}
type BelongsTo<Shape> = (row: Shape) => Belonging;

// Pothos is extended by merging.
declare global {
  export namespace PothosSchemaTypes {
    export interface Plugins<Types extends SchemaTypes> {
      belonging: BelongingPlugin<Types>;
    }
    export interface ObjectTypeOptions<Types extends SchemaTypes, Shape> {
      belongsTo?: BelongsTo<Shape>;
    }
  }
}

type Guard = (object: unknown, context: Context) => void;

class BelongingPlugin<Types extends SchemaTypes> extends BasePlugin<Types> {
  override wrapResolve(
    resolve: GraphQLFieldResolver<unknown, Types['Context']>,
    field: PothosOutputFieldConfig<Types>,
  ): GraphQLFieldResolver<unknown, Types['Context']> {
    const guard = this.#guardOf(field);
    if (!guard) return resolve;
    return (parent, args, context, info) =>
      admitted(resolve(parent, args, context, info), guard, context as unknown as Context);
  }

  #guardOf(field: PothosOutputFieldConfig<Types>): Guard | undefined {
    // As it was declared: a field with expected errors has become a union by now.
    const declared: unknown = field.pothosOptions.type;
    const type = (Array.isArray(declared) ? declared[0] : declared) as OutputType<SchemaTypes>;
    if (isBuiltIn(type)) return undefined;
    const { kind } = this.buildCache.getTypeConfig(type);
    if (kind === 'Interface' || kind === 'Union') {
      // Only a mark on the object itself tells its type; without one it is nobody's.
      return (object, context) => {
        const brand = getTypeBrand(object);
        if (!brand)
          throw new Error(`An object without a type came out of ${field.parentType}.${field.name}.`);
        const belongsTo = this.#belongsTo(brand);
        if (belongsTo) check(belongsTo(object), context);
      };
    }
    const belongsTo = kind === 'Object' ? this.#belongsTo(type) : undefined;
    return belongsTo && ((object, context) => check(belongsTo(object), context));
  }

  #belongsTo(type: OutputType<SchemaTypes>): BelongsTo<unknown> | undefined {
    const { pothosOptions } = this.buildCache.getTypeConfig(type, 'Object');
    return (pothosOptions as { belongsTo?: BelongsTo<unknown> }).belongsTo;
  }
}

const builtIn = ['String', 'ID', 'Int', 'Float', 'Boolean'];
const isBuiltIn = (type: unknown): boolean => typeof type === 'string' && builtIn.includes(type);

/** @throws ForbiddenError */
function check({ project, role }: Belonging, { viewer }: Context): void {
  if (may(viewer, project, role)) return;
  throw new ForbiddenError('This belongs to a project that you cannot read.', role);
}

/** The value when everything in it may be seen. An error in its place is an error's business. */
function admitted(value: unknown, guard: Guard, context: Context): unknown {
  if (value === null || value === undefined || value instanceof Error) return value;
  if (isThenable(value)) return completeValue(value, (ready) => admitted(ready, guard, context));
  if (Array.isArray(value)) return value.map((item: unknown) => admitted(item, guard, context));
  guard(value, context);
  return value;
}

/** The plugin's name, as `plugins` takes it. */
export const belonging = 'belonging';
SchemaBuilder.registerPlugin(belonging, BelongingPlugin);
