/** Forgets the entry that was added first, where one more would be too many. */
export function makeRoom(entries: Map<string, unknown>, max: number): void {
  if (entries.size < max) return;
  const first = entries.keys().next();
  if (first.done !== true) entries.delete(first.value);
}
