/** What a document may ask for: depth, aliases, cost. Each refusal names the limit and its variable. */
import { complexityFromQuery } from '@pothos/plugin-complexity';
import {
  GraphQLError,
  Kind,
  visit,
  type ASTNode,
  type DocumentNode,
  type FragmentDefinitionNode,
  type GraphQLSchema,
  type SelectionSetNode,
  type ValidationContext,
} from 'graphql';
import { NoSchemaIntrospectionCustomRule, type ValidationRule } from 'graphql/validation';
import type { Config } from '#src/platform/config.ts';

type Limits = Pick<Config, 'MAX_QUERY_DEPTH' | 'MAX_QUERY_ALIASES' | 'MAX_QUERY_COST' | 'INTROSPECTION'>;

function refuse(code: string, what: string, found: string, limit: number, variable: string): GraphQLError {
  return new GraphQLError(`The document has ${what} ${found}; ${limit} is allowed (${variable}).`, {
    extensions: { code, found, limit, variable, http: { status: 400 } },
  });
}

/** Rules that look at the document alone; their verdict is cached with the validation's. */
export function limitRules(limits: Limits): ValidationRule[] {
  const rules: ValidationRule[] = [depthRule(limits.MAX_QUERY_DEPTH), aliasRule(limits.MAX_QUERY_ALIASES)];
  return limits.INTROSPECTION ? rules : [...rules, NoSchemaIntrospectionCustomRule];
}

function depthRule(limit: number): ValidationRule {
  return (context: ValidationContext) => ({
    Document: {
      leave: (document) => {
        const depth = depthOf(document, limit);
        if (depth > limit) {
          context.reportError(
            refuse('TOO_DEEP', 'a depth of', `more than ${limit}`, limit, 'MAX_QUERY_DEPTH'),
          );
        }
      },
    },
  });
}

/** Depth of the deepest operation, counting at most one past the limit; fragments that refer to themselves end there too. */
function depthOf(document: DocumentNode, limit: number): number {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  }
  const known = new Map<string, number>();
  function below(set: SelectionSetNode | undefined, path: readonly string[]): number {
    let most = 0;
    for (const selection of set?.selections ?? []) {
      if (most > limit) break;
      if (selection.kind === Kind.FIELD) {
        const inner = selection.selectionSet ? below(selection.selectionSet, path) : 0;
        most = Math.max(most, 1 + inner);
      } else if (selection.kind === Kind.INLINE_FRAGMENT) {
        most = Math.max(most, below(selection.selectionSet, path));
      } else {
        most = Math.max(most, spread(selection.name.value, path));
      }
    }
    return most;
  }
  function spread(name: string, path: readonly string[]): number {
    // A cycle is another rule's business.
    if (path.includes(name)) return 0;
    const depth = known.get(name) ?? below(fragments.get(name)?.selectionSet, [...path, name]);
    known.set(name, depth);
    return depth;
  }
  const operations = document.definitions.filter(
    (definition) => definition.kind === Kind.OPERATION_DEFINITION,
  );
  return Math.max(0, ...operations.map((operation) => below(operation.selectionSet, [])));
}

function aliasRule(limit: number): ValidationRule {
  return (context: ValidationContext) => {
    let aliases = 0;
    return {
      Field: (node) => {
        if (node.alias) aliases += 1;
      },
      Document: {
        leave: () => {
          if (aliases <= limit) return;
          context.reportError(
            refuse('TOO_MANY_ALIASES', 'aliases:', String(aliases), limit, 'MAX_QUERY_ALIASES'),
          );
        },
      },
    };
  };
}

/** Whether a document's cost may depend on its variables. */
function usesVariables(document: DocumentNode): boolean {
  let found = false;
  visit(document as ASTNode, {
    Argument: {
      enter: (node) => {
        if (node.name.value === 'first' && node.value.kind === Kind.VARIABLE) found = true;
      },
    },
  });
  return found;
}

/** Checks the cost of an operation: fields, multiplied by the sizes of the pages they stand in. */
export function costLimit(
  schema: GraphQLSchema,
  limits: Limits,
): (document: DocumentNode, variables: Record<string, unknown> | undefined) => GraphQLError | undefined {
  const limit = limits.MAX_QUERY_COST;
  const fixed = new WeakMap<DocumentNode, GraphQLError | 'within' | 'depends'>();
  function measure(document: DocumentNode, variables: Record<string, unknown>): GraphQLError | undefined {
    let cost: number;
    try {
      cost = complexityFromQuery(document, { schema, variables, ctx: {} }).complexity;
    } catch {
      // Variables that are missing or of a wrong type: execution says so better.
      return undefined;
    }
    return cost > limit
      ? refuse('TOO_COSTLY', 'a cost of', String(cost), limit, 'MAX_QUERY_COST')
      : undefined;
  }
  return (document, variables) => {
    const known = fixed.get(document);
    if (known === 'depends') return measure(document, variables ?? {});
    if (known !== undefined) return known === 'within' ? undefined : known;
    const verdict = measure(document, variables ?? {});
    fixed.set(document, usesVariables(document) ? 'depends' : (verdict ?? 'within'));
    return verdict;
  };
}
