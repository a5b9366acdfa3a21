/** Where on this server bytes come in and go out. */

export const UPLOADS = '/uploads';

/** Of an upload, for the tus protocol. */
export const uploadPath = (id: string): string => `${UPLOADS}/${id}`;
