// A whole session by openapi-generator's go. Arguments: the portal's URL, a name, a password.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	portal "example.org/portal/client"
)

var content = bytes.Repeat([]byte("0123456789abcdef"), 640)

func must(good bool, told ...any) {
	if !good {
		panic(fmt.Sprint(told...))
	}
}

func refused(err error) portal.Problem {
	var told *portal.GenericOpenAPIError
	must(errors.As(err, &told), err)
	problem, ok := told.Model().(portal.Problem)
	must(ok, told.Model())
	return problem
}

func opened(folder, name string) *os.File {
	path := filepath.Join(folder, name)
	must(os.WriteFile(path, content, 0o600) == nil)
	file, err := os.Open(path)
	must(err == nil, err)
	return file
}

func main() {
	url, name, password := os.Args[1], os.Args[2], os.Args[3]
	folder, err := os.MkdirTemp("", "portal-sdk-")
	must(err == nil, err)
	defer os.RemoveAll(folder)
	configuration := portal.NewConfiguration()
	configuration.Servers = portal.ServerConfigurations{{URL: url}}
	client := portal.NewAPIClient(configuration)
	ctx := context.Background()

	form := client.AuthAPI.CreateToken(ctx).GrantType("password").Username(name).Password(password)
	signedIn, _, err := form.Execute()
	must(err == nil, err)
	ctx = context.WithValue(ctx, portal.ContextAccessToken, signedIn.AccessToken)

	sent, _, err := client.FilesAPI.UploadFile(ctx).File(opened(folder, "by form.bin")).Execute()
	must(err == nil, err)
	made, _, err := client.CasesAPI.CreateCase(ctx).CaseCreate(*portal.NewCaseCreate("A case")).Execute()
	must(err == nil, err)
	inCase, _, err := client.FilesAPI.UploadFile(ctx).File(opened(folder, "of case.bin")).CaseId(made.Id).Execute()
	must(err == nil, err)
	must(*inCase.CaseId.Get() == made.Id, inCase.CaseId)
	raw, _, err := client.FilesAPI.UploadRaw(ctx, "raw.bin").Body(opened(folder, "raw.bin")).Execute()
	must(err == nil, err)
	must(int(raw.Size) == len(content) && raw.Sha256 == sent.Sha256, raw)

	page, _, err := client.FilesAPI.ListFiles(ctx).Limit(3).Execute()
	must(err == nil && len(page.Items) == 3 && page.Items[0].Id == raw.Id && page.Items[2].Id == sent.Id, err)
	read, _, err := client.FilesAPI.ReadFile(ctx, raw.Id).Execute()
	must(err == nil && read.Name == "raw.bin", err)
	part, answer, err := client.FilesAPI.DownloadFile(ctx, raw.Id).Range_("bytes=10-19").Execute()
	must(err == nil && answer.StatusCode == 206, err)
	got, err := io.ReadAll(part)
	must(err == nil && bytes.Equal(got, content[10:20]), err)
	must(os.Remove(part.Name()) == nil) // the generator keeps downloads in the temporary folder, in clear

	_, err = client.FilesAPI.DeleteFile(ctx, raw.Id).IfMatch(fmt.Sprintf(`"%d"`, read.Version+1)).Execute()
	stale := refused(err)
	must(stale.Code == "precondition_failed", stale)
	_, err = client.FilesAPI.DeleteFile(ctx, raw.Id).IfMatch(fmt.Sprintf(`"%d"`, read.Version)).Execute()
	must(err == nil, err)
	_, _, err = client.FilesAPI.ReadFile(ctx, raw.Id).Execute()
	gone := refused(err)
	must(gone.Code == "not_found", gone)
	fmt.Println("played")
}
