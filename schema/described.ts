/** Values of an enum with their descriptions; one without a text does not compile. */
export function described<T extends string>(
  names: readonly T[],
  texts: Record<T, string>,
): Record<T, { description: string }> {
  return Object.fromEntries(names.map((name) => [name, { description: texts[name] }])) as Record<
    T,
    { description: string }
  >;
}
