import type { TagRecord } from '#src/platform/database.types.ts';
import { builder } from './builder.ts';

export const Tag = builder.objectRef<TagRecord>('Tag').implement({
  description: 'A key and a value that people give.',
  fields: (t) => ({
    key: t.exposeString('key', { description: 'The key.' }),
    value: t.exposeString('value', { description: 'The value.' }),
  }),
});

export const TagInput = builder.inputType('TagInput', {
  description: 'A key and a value.',
  fields: (t) => ({
    key: t.string({
      required: true,
      description:
        'Letters of one script, digits, ".", "_", "-"; 100 characters at most; not beginning with "modelarium.".',
    }),
    value: t.string({ required: true, description: 'Text of 200 characters at most.' }),
  }),
});
