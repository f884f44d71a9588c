package main

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	erx "erx.example/clients/gen/erx/prescriptions/v1"
)

// refusals asks for what cannot be, and reads why not from the details of the status (grpc-status-details-bin).
func (s *scenario) refusals() error {
	ctx, cancel := s.as(prescriber...)
	defer cancel()
	_, err := s.commands.IssuePrescription(ctx, &erx.IssuePrescriptionRequest{RequestId: newID(), PrescriptionId: s.id})
	info, _ := details(err)
	if info == nil {
		return errors.Join(errors.New("issuing it again was not refused with a reason"), err)
	}
	fmt.Printf("refused code=%s reason=%s domain=%s state=%s allowed=%s\n", codeName(err), info.GetReason(),
		info.GetDomain(), info.GetMetadata()["state"], info.GetMetadata()["allowed"])

	broken := content("")
	broken.RefillsAllowed = 100
	_, err = s.commands.CreatePrescription(ctx, &erx.CreatePrescriptionRequest{RequestId: "seven", Content: broken})
	info, request := details(err)
	if info == nil || request == nil {
		return errors.Join(errors.New("a broken request was not refused with its violations"), err)
	}
	var violations []string
	for _, violation := range request.GetFieldViolations() {
		violations = append(violations, violation.GetField()+":"+violation.GetReason())
	}
	fmt.Printf("invalid code=%s reason=%s violations=%s\n", codeName(err), info.GetReason(), strings.Join(violations, ","))
	return nil
}

func details(err error) (info *errdetails.ErrorInfo, request *errdetails.BadRequest) {
	for _, detail := range status.Convert(err).Details() {
		switch known := detail.(type) {
		case *errdetails.ErrorInfo:
			info = known
		case *errdetails.BadRequest:
			request = known
		}
	}
	return info, request
}

// codeName is the code as the specification of gRPC writes it.
func codeName(err error) string {
	return code.Code(status.Code(err)).String()
}
