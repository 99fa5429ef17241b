{{- define "dumper.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimAll "-" -}}
{{- end -}}

{{/*
At most 52 characters, so that with the longest suffix no name has more than 63; a Service's begins with a letter and,
unlike a release's, has no dot.
*/}}
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
{{- $name | replace "." "-" | trunc 52 | trimAll "-" -}}
{{- end -}}

{{/* The path of a directory store; empty where blobs go to S3. */}}
{{- define "dumper.directory" -}}
{{- $store := .Values.settings.DUMPER_BLOB_STORE | default "" -}}
{{- if hasPrefix "file://" $store -}}{{ trimPrefix "file://" $store }}{{- end -}}
{{- end -}}

{{/* The volume of a directory store: one that exists, or the chart's own; empty where blobs go to S3. */}}
{{- define "dumper.claim" -}}
{{- $directory := include "dumper.directory" . -}}
{{- if and $directory (not (hasPrefix (printf "%s/" (trimSuffix "/" .Values.persistence.mountPath)) (printf "%s/" $directory))) -}}
{{- fail (printf "settings.DUMPER_BLOB_STORE: %s is outside the volume, which is mounted at persistence.mountPath %s" $directory .Values.persistence.mountPath) -}}
{{- end -}}
{{- if .Values.persistence.existingClaim -}}
{{- .Values.persistence.existingClaim -}}
{{- else if .Values.persistence.create -}}
{{- include "dumper.fullname" . -}}
{{- else if $directory -}}
{{- fail "settings.DUMPER_BLOB_STORE is a directory: give it a volume (persistence.existingClaim, or persistence.create=true)" -}}
{{- end -}}
{{- end -}}

{{/* Never from a value: selectors cannot be changed by an upgrade. */}}
{{- define "dumper.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* The pod of `helm test` is not under the network policy of the others. */}}
{{- define "dumper.testLabels" -}}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: test
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

{{/* Environment of every container; secrets only by reference; no name twice, of which the API server would drop one. */}}
{{- define "dumper.env" -}}
{{- $root := . -}}
{{- $secrets := .Files.Get "files/secrets.txt" | trim | splitList "\n" -}}
{{- range .Values.extraEnv }}
{{- if or (has .name $secrets) (hasKey $root.Values.settings .name) (hasKey ($root.Values.aws | default dict) .name) (eq .name "DUMPER_ROLE") }}
{{- fail (printf "extraEnv: the chart sets %s itself (settings, aws, secretRefs)" .name) }}
{{- end }}
{{- end }}
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
{{- range $name := $secrets }}
{{- $ref := get ($root.Values.secretRefs | default dict) $name | default dict }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ $ref.name | default $root.Values.secretName | quote }}
      key: {{ $ref.key | default $name | quote }}
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
{{- range $name, $id := .Values.podSecurityContext }}
{{- if not (kindIs "invalid" $id) }}
{{ $name }}: {{ $id | int64 }}
{{- end }}
{{- end }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "dumper.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "dumper.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 256Mi
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "dumper.blobMount" -}}
{{- if include "dumper.claim" . }}
- name: blobs
  mountPath: {{ .Values.persistence.mountPath | quote }}
{{- end }}
{{- end -}}

{{- define "dumper.blobVolume" -}}
{{- with include "dumper.claim" . }}
- name: blobs
  persistentVolumeClaim:
    claimName: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "dumper.scheduling" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
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

{{/* The account of the pods: the chart's own, or one that exists. */}}
{{- define "dumper.account" -}}
{{- if .Values.serviceAccount.create -}}
{{- include "dumper.fullname" . -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/*
Ports of a peer, by spaces: those of the values and the one that a URL of the settings names. None where the values
have none: the rule is left out, since a rule without ports would allow every port.
*/}}
{{- define "dumper.peerPorts" -}}
{{- $ports := list -}}
{{- range .rule.ports }}{{ $ports = append $ports (int .) }}{{ end -}}
{{- if $ports -}}
{{- range .urls -}}
{{- $port := regexFind ":[0-9]+$" (urlParse .).host | trimPrefix ":" -}}
{{- if $port }}{{ $ports = append $ports (int $port) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $ports | uniq | join " " -}}
{{- end -}}

{{/* Which series of Prometheus are this release's. */}}
{{- define "dumper.series" -}}
{{- $name := include "dumper.fullname" . -}}
{{- .Values.prometheusRule.matchers | default (printf "namespace=%q,job=~%q" .Release.Namespace (printf "%s|%s-publish" $name $name)) -}}
{{- end -}}
