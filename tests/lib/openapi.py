"""Holds answers against CAS' OpenAPI document: the part of its schema language that the document uses; a keyword that is not known here is an error.

Stricter than the language: an object whose schema lists properties has no others.
"""

import json
import re

KNOWN = {'type', 'required', 'properties', 'additionalProperties', 'items', 'enum', 'pattern', 'nullable', 'format', 'description', '$ref'}
TYPES = {'object': dict, 'array': list, 'string': str, 'boolean': bool, 'integer': int}


class Document:
    def __init__(self, document):
        self.d = document

    def resolve(self, node):
        while '$ref' in node:
            path = node['$ref'].split('/')
            if path[0] != '#':
                raise ValueError(f'reference {node["$ref"]}')
            node = self.d
            for part in path[1:]:
                node = node[part]
        return node

    def operations(self):
        return {(method.upper(), path): operation for path, item in self.d['paths'].items() for method, operation in item.items()}

    def faults(self, schema, value, where='$'):
        """What is wrong with a value, as a list of texts."""
        schema = self.resolve(schema)
        if unknown := set(schema) - KNOWN:
            raise ValueError(f'{where}: schema with {unknown}')
        if value is None and schema.get('nullable'):
            return []
        kind = TYPES[schema['type']]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            return [f'{where}: {value!r:.80}, wanted {schema["type"]}']
        found = []
        if 'enum' in schema and value not in schema['enum']:
            found.append(f'{where}: {value!r:.80}, wanted one of {schema["enum"]}')
        if 'pattern' in schema and not re.search(schema['pattern'], value):
            found.append(f'{where}: {value!r:.80} does not match {schema["pattern"]}')
        if schema.get('format') == 'byte' and not re.fullmatch(r'[A-Za-z0-9+/]*={0,2}', value):
            found.append(f'{where}: not base64')
        if kind is list and 'items' in schema:
            for i, item in enumerate(value):
                found += self.faults(schema['items'], item, f'{where}[{i}]')
        if kind is dict:
            found += self.object_faults(schema, value, where)
        return found

    def object_faults(self, schema, value, where):
        properties, more = schema.get('properties'), schema.get('additionalProperties')
        found = [f'{where}: {name} is missing' for name in schema.get('required', []) if name not in value]
        for name, item in value.items():
            if name in (properties or {}):
                found += self.faults(properties[name], item, f'{where}.{name}')
            elif more:
                found += self.faults(more, item, f'{where}.{name}')
            elif properties is not None:
                found.append(f'{where}: {name} is not described')
        return found

    def answer_faults(self, operation, reply):
        """What is wrong with an answer (cas_harness.Reply) to it: status, type of its content, content."""
        response = operation['responses'].get(str(reply.status))
        if not response:
            return [f'status {reply.status} is not listed']
        response = self.resolve(response)
        kind = reply.headers['Content-Type'].split(';')[0]
        if kind not in response['content']:
            return [f'{reply.status}: content type {kind}, wanted one of {list(response["content"])}']
        missing = [f'{reply.status}: no {h}' for h in response.get('headers', {}) if h not in reply.headers]
        value = json.loads(reply.body) if kind == 'application/json' else reply.body.decode()
        return missing + self.faults(response['content'][kind]['schema'], value)
