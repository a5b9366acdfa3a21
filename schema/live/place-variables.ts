/** Which variables of an operation only say where in a log to begin. */
import { Kind, visit, type ASTNode, type DocumentNode } from 'graphql';

const known = new WeakMap<DocumentNode, Map<string, ReadonlySet<string>>>();

/**
 * The variables that are used for nothing but these arguments of the subscription's own field: whatever their values
 * are, the answer to an event is the same. A variable that is used in a fragment, or deeper, is not among them.
 */
export function placeVariables(document: DocumentNode, places: readonly string[]): ReadonlySet<string> {
  if (places.length === 0) return new Set();
  // Documents are kept by their text, so whoever subscribes with the same text comes with the same document.
  const ofDocument = known.get(document) ?? new Map<string, ReadonlySet<string>>();
  known.set(document, ofDocument);
  const key = places.join();
  const found = ofDocument.get(key) ?? find(document, places);
  ofDocument.set(key, found);
  return found;
}

function find(document: DocumentNode, places: readonly string[]): ReadonlySet<string> {
  const placed = new Set<string>();
  const elsewhere = new Set<string>();
  visit(document, {
    VariableDefinition: () => false,
    Variable: (node, _key, parent, _path, ancestors) => {
      const isPlaced =
        isNode(parent) &&
        parent.kind === Kind.ARGUMENT &&
        places.includes(parent.name.value) &&
        isOfOwnField(ancestors);
      (isPlaced ? placed : elsewhere).add(node.name.value);
    },
  });
  return new Set([...placed].filter((name) => !elsewhere.has(name)));
}

type Ancestors = readonly (ASTNode | readonly ASTNode[])[];

/** Of an argument's variable: whether the argument belongs to a field directly below the operation. */
function isOfOwnField(ancestors: Ancestors): boolean {
  const kinds = ancestors.flatMap((ancestor) => (isNode(ancestor) ? [ancestor.kind] : []));
  return (
    kinds.at(-1) === Kind.FIELD &&
    kinds.filter((kind) => kind === Kind.FIELD).length === 1 &&
    !kinds.includes(Kind.FRAGMENT_DEFINITION)
  );
}

function isNode(value: ASTNode | readonly ASTNode[] | undefined): value is ASTNode {
  return value !== undefined && !Array.isArray(value);
}
