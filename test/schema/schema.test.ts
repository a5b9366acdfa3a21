/** The committed schema: everything in it says what it is. */
import { readFileSync } from 'node:fs';
import {
  buildSchema,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isIntrospectionType,
  isObjectType,
  isSpecifiedScalarType,
} from 'graphql';
import { expect, test } from 'vitest';

const schema = buildSchema(readFileSync(new URL('../../schema/schema.graphql', import.meta.url), 'utf8'));

interface Described {
  readonly name: string;
  readonly description?: string | null | undefined;
}

const silent = (where: string, things: readonly Described[]): string[] =>
  things.filter(({ description }) => !description?.trim()).map(({ name }) => `${where}${name}`);

test('every type, field, argument, input field and enum value has a description', () => {
  const missing: string[] = [];
  for (const type of Object.values(schema.getTypeMap())) {
    if (isIntrospectionType(type) || isSpecifiedScalarType(type)) continue;
    // A result is told by its mutation, and by each type that it may be.
    if (!type.name.endsWith('Result')) missing.push(...silent('', [type]));
    if (isEnumType(type)) missing.push(...silent(`${type.name}.`, type.getValues()));
    if (isInputObjectType(type)) missing.push(...silent(`${type.name}.`, Object.values(type.getFields())));
    if (!isObjectType(type) && !isInterfaceType(type)) continue;
    const fields = Object.values(type.getFields());
    missing.push(...silent(`${type.name}.`, fields));
    for (const field of fields) missing.push(...silent(`${type.name}.${field.name}(`, field.args));
  }
  expect(missing).toEqual([]);
});

test('every mutation takes one input and answers a union with every error that can be expected', () => {
  const { fields } = schema.getMutationType()!.toConfig();
  for (const [name, { type, args }] of Object.entries(fields)) {
    const title = `${name.charAt(0).toUpperCase()}${name.slice(1)}`;
    expect(String(type), name).toBe(`${title}Result!`);
    expect(
      Object.entries(args).map(([arg, { type: input }]) => `${arg}: ${String(input)}`),
      name,
    ).toEqual([`input: ${title}Input!`]);
    const members = schema
      .getPossibleTypes(schema.getType(`${title}Result`) as never)
      .map((member) => member.name);
    expect(members, name).toEqual(
      expect.arrayContaining(['ForbiddenError', 'NotFoundError', 'ValidationError']),
    );
  }
});
