/** Prints the schema, as it is committed in schema.graphql: node schema/print.ts > schema/schema.graphql */
import { lexicographicSortSchema, printSchema } from 'graphql';
import { schema } from './schema.ts';

process.stdout.write(`${printSchema(lexicographicSortSchema(schema))}\n`);
