/** Files that come bit by bit: made here or by tus itself, sent by tus, used by createVersion. */
import { cancelUpload, createUpload, getUpload, receivedBytes, type Upload } from '#src/upload/upload.ts';
import { NotFoundError, NotReadyError } from '#src/platform/errors.ts';
import { ActorType } from './actor.ts';
import { builder } from './builder.ts';
import { expected } from './errors.ts';
import { idOf, refOf } from './global-id.ts';
import { uploadPath } from './http/paths.ts';

const UploadType = builder.objectRef<Upload>('ResumableUpload');
builder.node(UploadType, {
  description:
    'A file on its way: sent by the tus protocol to `url`, as often interrupted as need be, and used by createVersion once ' +
    'it is whole. Only whoever made it sees it.',
  belongsTo: (upload) => ({ project: upload.projectId, role: 'AUTHOR' }),
  id: { resolve: (upload) => upload.id, description: 'Global id.' },
  // Awaited values: the plugin marks what this returns with its type, which a promise does not pass on.
  loadManyWithoutCache: (ids, { platform, viewer }) =>
    Promise.all(
      ids.map((id) =>
        getUpload(platform, viewer, id).catch((error: unknown) => {
          if (error instanceof NotFoundError) return null;
          throw error;
        }),
      ),
    ),
  fields: (t) => ({
    path: t.exposeString('path', { description: 'Its name in a version; "/" separates folders.' }),
    bytes: t.expose('bytes', { type: 'BigInt', description: 'Its size in bytes.' }),
    receivedBytes: t.field({
      type: 'BigInt',
      description: 'How many of them are here.',
      resolve: (upload, _args, { platform }) => receivedBytes(platform, upload),
    }),
    digest: t.field({
      type: 'Sha256',
      nullable: true,
      description: 'SHA-256 of its bytes; null until it is whole.',
      resolve: (upload) => (upload.storedAt ? upload.blobDigest : null),
    }),
    url: t.string({
      description: 'Where tus sends it: a path on this server. It takes the same authorization as the api.',
      resolve: ({ id }) => uploadPath(id),
    }),
    createdBy: t.field({
      type: ActorType,
      description: 'Who made it.',
      resolve: (upload) => ({ name: upload.createdByName, kind: upload.createdByKind }),
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was made.' }),
    expiresAt: t.expose('expiresAt', {
      type: 'DateTime',
      description: 'When it is forgotten, unless more arrives or a version uses it.',
    }),
  }),
});

const CreateUploadInput = builder.inputType('CreateUploadInput', {
  description: 'A file to be sent.',
  fields: (t) => ({
    project: t.id({ required: true, description: 'Global id of the project, or its name.' }),
    path: t.string({ required: true, description: 'Its name in a version; "/" separates folders.' }),
    bytes: t.field({ type: 'BigInt', required: true, description: 'Its size in bytes.' }),
    digest: t.field({
      type: 'Sha256',
      description:
        'SHA-256 of its bytes. Other bytes are refused then; and where the project holds these already, nothing need be sent.',
    }),
  }),
});
const CancelUploadInput = builder.inputType('CancelUploadInput', {
  description: 'An upload that is not wanted any more.',
  fields: (t) => ({ upload: t.id({ required: true, description: 'Global id of the upload.' }) }),
});

builder.mutationFields((t) => ({
  createUpload: t.field({
    type: UploadType,
    description:
      'Makes room for a file that is sent to `url` then, by any client of the tus protocol. Needs AUTHOR.',
    errors: { types: expected.store },
    args: { input: t.arg({ type: CreateUploadInput, required: true, description: 'The file.' }) },
    resolve: (_root, { input }, { platform, viewer }) =>
      createUpload(platform, viewer, {
        project: refOf(['project'], 'Project', input.project),
        path: input.path,
        bytes: input.bytes,
        digest: input.digest ?? null,
      }),
  }),
  cancelUpload: t.field({
    type: UploadType,
    description: 'Forgets an upload and what has arrived of it.',
    errors: { types: [...expected.change, NotReadyError] },
    args: { input: t.arg({ type: CancelUploadInput, required: true, description: 'Which.' }) },
    resolve: (_root, { input }, { platform, viewer }) =>
      cancelUpload(platform, viewer, idOf(['upload'], 'ResumableUpload', input.upload)),
  }),
}));
