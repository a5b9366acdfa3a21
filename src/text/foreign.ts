/** Text of somebody else's program, to be shown or kept: without what PostgreSQL cannot hold, and no longer than `most`. */
export function foreignText(text: string, most: number): string {
  const part = text.length > most ? `${text.slice(0, most)}…` : text;
  return part.toWellFormed().replaceAll(/[^\P{Cc}\n\t]/gu, '\ufffd');
}
