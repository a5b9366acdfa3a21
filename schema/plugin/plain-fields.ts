/**
 * Resolvers without promises and functions where none are needed, so that a compiled document reads a property and is
 * done: an exposed property of the field's own name, and the global id of a node, which the relay plugin resolves by
 * two promises each.
 */
import SchemaBuilder, {
  BasePlugin,
  completeValue,
  type PothosOutputFieldConfig,
  type SchemaTypes,
} from '@pothos/core';
import { defaultFieldResolver, type GraphQLFieldResolver } from 'graphql';

// Pothos is extended by merging.
declare global {
  export namespace PothosSchemaTypes {
    export interface Plugins<Types extends SchemaTypes> {
      plainFields: PlainFieldsPlugin<Types>;
    }
  }
}

type Resolve = GraphQLFieldResolver<unknown, object>;

class PlainFieldsPlugin<Types extends SchemaTypes> extends BasePlugin<Types> {
  override wrapResolve(resolve: Resolve, field: PothosOutputFieldConfig<Types>): Resolve {
    if (field.extensions?.['pothosExposedField'] === field.name) return defaultFieldResolver as Resolve;
    if (field.name !== 'id') return resolve;
    const { name, pothosOptions } = this.buildCache.getTypeConfig(field.parentType);
    const node = pothosOptions as { id?: { resolve: Resolve } };
    if (!node.id) return resolve;
    const { resolve: innerId } = node.id;
    // As the plugin encodes it: names and ids are ASCII.
    return (parent, args, context, info) =>
      completeValue(innerId(parent, args, context, info), (id) => btoa(`${name}:${String(id)}`));
  }
}

/** The plugin's name, as `plugins` takes it. */
export const plainFields = 'plainFields';
SchemaBuilder.registerPlugin(plainFields, PlainFieldsPlugin);
