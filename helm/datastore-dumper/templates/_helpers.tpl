{{- define "dumper.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 52 characters, so that with the longest suffix no name has more than 63; a Service's begins with a letter. */}}
{{- define "dumper.fullname" -}}
{{- $name := printf "%s-%s" .Release.Name (include "dumper.name" .) -}}
{{- if .Values.fullnameOverride -}}
{{- $name = .Values.fullnameOverride -}}
{{- else if contains (include "dumper.name" .) .Release.Name -}}
{{- $name = .Release.Name -}}
{{- end -}}
{{- if regexMatch "^[0-9]" $name -}}
{{- $name = printf "d-%s" $name -}}
{{- end -}}
{{- $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* The volume of a directory store: one that exists, or the chart's own; empty where blobs go to S3. */}}
{{- define "dumper.claim" -}}
{{- $directory := hasPrefix "file:" (.Values.settings.DUMPER_BLOB_STORE | default "") -}}
{{- if .Values.persistence.existingClaim -}}
{{- .Values.persistence.existingClaim -}}
{{- else if .Values.persistence.create -}}
{{- include "dumper.fullname" . -}}
{{- else if $directory -}}
{{- fail "settings.DUMPER_BLOB_STORE is a directory: give it a volume (persistence.existingClaim, or persistence.create=true)" -}}
{{- end -}}
{{- end -}}

{{- define "dumper.selector" -}}
app.kubernetes.io/name: {{ include "dumper.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "dumper.labels" -}}
{{ include "dumper.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "dumper.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "dumper.port" -}}
{{ .Values.settings.DUMPER_PORT | default 8000 | int }}
{{- end -}}

{{/* Roles that have a deployment of their own. */}}
{{- define "dumper.roles" -}}
{{- if eq .Values.mode "all" -}}all{{- else -}}serve publish{{- end -}}
{{- end -}}

{{/* The role that answers requests. */}}
{{- define "dumper.servingRole" -}}
{{- if eq .Values.mode "all" -}}all{{- else -}}serve{{- end -}}
{{- end -}}

{{/* A value as the environment has it: whole numbers of YAML without an exponent. */}}
{{- define "dumper.text" -}}
{{- if kindIs "float64" . -}}
{{- if eq (floor .) . -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- else -}}
{{ . }}
{{- end -}}
{{- end -}}

{{/* Environment of every container; secrets only by reference. */}}
{{- define "dumper.env" -}}
{{- $root := . -}}
{{- range $name, $value := .Values.settings }}
{{- if not (kindIs "invalid" $value) }}
- name: {{ $name }}
  value: {{ include "dumper.text" $value | quote }}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.aws }}
- name: {{ $name }}
  value: {{ include "dumper.text" $value | quote }}
{{- end }}
{{- range $name := (.Files.Get "files/secrets.txt" | trim | splitList "\n") }}
{{- $ref := index $root.Values.secretRefs $name | default dict }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ $ref.name | default $root.Values.secretName }}
      key: {{ $ref.key | default $name }}
      optional: {{ not (has $name (list "CKAN_DATASTORE_READ_URL" "DUMPER_STATE_URL")) }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "dumper.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "dumper.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "dumper.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- if include "dumper.claim" . }}
- name: blobs
  mountPath: {{ .Values.persistence.mountPath }}
{{- end }}
{{- end -}}

{{- define "dumper.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 256Mi
{{- with include "dumper.claim" . }}
- name: blobs
  persistentVolumeClaim:
    claimName: {{ . }}
{{- end }}
{{- end -}}

{{- define "dumper.scheduling" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
