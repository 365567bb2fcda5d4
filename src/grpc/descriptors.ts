import { readFile } from 'node:fs/promises';
import { fromBinary } from '@bufbuild/protobuf';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt';

/** The contract and everything it imports, as `buf build` wrote them beside the generated code. */
export interface Descriptors {
  readonly services: readonly string[];
  /** A serialised FileDescriptorProto by its file's name. */
  readonly files: ReadonlyMap<string, Buffer>;
  /** File name by the fully qualified name of whatever it declares. */
  readonly symbols: ReadonlyMap<string, string>;
}

/** Beside the generated code, in the sources and in a build alike. */
export const descriptorsFile = new URL('../../generated/descriptors.binpb', import.meta.url);

/** Rejects when the file is missing or is no descriptor set: the build is broken. */
export async function readDescriptors(file: string | URL = descriptorsFile): Promise<Descriptors> {
  return indexDescriptors(await readFile(file));
}

export function indexDescriptors(set: Uint8Array): Descriptors {
  const files = new Map<string, Buffer>();
  const symbols = new Map<string, string>();
  const services: string[] = [];
  for (const bytes of splitFiles(set)) {
    const file = fromBinary(FileDescriptorProtoSchema, bytes);
    files.set(file.name, bytes);
    for (const name of namesIn(file)) symbols.set(name, file.name);
    services.push(...file.service.map((service) => qualify(file.package, service.name)));
  }
  return { services: services.sort(), files, symbols };
}

const FILE_FIELD = 1;

/** The files as they stand: writing them anew could lose what this code does not know. */
function splitFiles(set: Uint8Array): readonly Buffer[] {
  const reader = new BinaryReader(set);
  const files: Buffer[] = [];
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === FILE_FIELD) files.push(Buffer.from(reader.bytes()));
    else reader.skip(wireType);
  }
  return files;
}

function* namesIn(file: FileDescriptorProto): Iterable<string> {
  for (const message of file.messageType) yield* namesOfMessage(file.package, message);
  for (const enumeration of file.enumType) yield* namesOfEnum(file.package, enumeration);
  for (const extension of file.extension) yield qualify(file.package, extension.name);
  for (const service of file.service) {
    const name = qualify(file.package, service.name);
    yield name;
    for (const method of service.method) yield qualify(name, method.name);
  }
}

function* namesOfMessage(scope: string, message: DescriptorProto): Iterable<string> {
  const name = qualify(scope, message.name);
  yield name;
  for (const part of [...message.field, ...message.oneofDecl, ...message.extension]) {
    yield qualify(name, part.name);
  }
  for (const nested of message.nestedType) yield* namesOfMessage(name, nested);
  for (const nested of message.enumType) yield* namesOfEnum(name, nested);
}

/** The values of an enum stand beside it, not in it: so protobuf scopes them. */
function* namesOfEnum(scope: string, enumeration: EnumDescriptorProto): Iterable<string> {
  yield qualify(scope, enumeration.name);
  for (const value of enumeration.value) yield qualify(scope, value.name);
}

function qualify(scope: string, name: string): string {
  return scope === '' ? name : `${scope}.${name}`;
}
